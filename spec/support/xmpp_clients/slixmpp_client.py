"""slixmpp: ADDRESS PASSWORD PORT CA. Logs in, writes "online", and stays until its input ends."""
import sys

import slixmpp

address, password, port, authority = sys.argv[1:]
client = slixmpp.ClientXMPP(address, password)
client.ca_certs = authority
client.enable_direct_tls = False
accepted = False


async def online(_event):
    global accepted
    accepted = True
    print("online", flush=True)
    await client.loop.run_in_executor(None, sys.stdin.read)
    client.disconnect()


client.add_event_handler("session_start", online)
client.add_event_handler("failed_auth", lambda stanza: print("refused", client["feature_mechanisms"].mech.name, flush=True))
# Version 1.10 takes two arguments.
if slixmpp.__version_info__ < (1, 9):
    client.connect((("127.0.0.1"), int(port)))
else:
    client.connect("127.0.0.1", int(port))
client.loop.run_until_complete(client.disconnected)
sys.exit(0 if accepted else 1)

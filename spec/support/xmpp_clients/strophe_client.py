"""libstrophe: ADDRESS PASSWORD PORT CA. Logs in, writes "online", and stays until its input ends."""
import ctypes
import os
import sys
import threading

address, password, port, authority = (argument.encode() for argument in sys.argv[1:])
strophe = ctypes.CDLL("libstrophe.so.0")
pointer = ctypes.c_void_p
HANDLER = ctypes.CFUNCTYPE(None, pointer, ctypes.c_int, ctypes.c_int, pointer, pointer)
for name, result, arguments in [
        ("xmpp_get_default_logger", pointer, [ctypes.c_int]),
        ("xmpp_ctx_new", pointer, [pointer, pointer]),
        ("xmpp_conn_new", pointer, [pointer]),
        ("xmpp_conn_set_cafile", None, [pointer, ctypes.c_char_p]),
        ("xmpp_conn_set_jid", None, [pointer, ctypes.c_char_p]),
        ("xmpp_conn_set_pass", None, [pointer, ctypes.c_char_p]),
        ("xmpp_connect_client", ctypes.c_int, [pointer, ctypes.c_char_p, ctypes.c_ushort, HANDLER, pointer]),
        ("xmpp_run", None, [pointer])]:
    function = getattr(strophe, name)
    function.restype, function.argtypes = result, arguments


def leave():
    sys.stdin.read()
    os._exit(0)


@HANDLER
def changed(_connection, event, _error, _stream_error, _data):
    if event in (0, 1):  # XMPP_CONN_CONNECT, XMPP_CONN_RAW_CONNECT
        print("online", flush=True)
        threading.Thread(target=leave).start()
    else:
        os._exit(1)


strophe.xmpp_initialize()
context = strophe.xmpp_ctx_new(None, strophe.xmpp_get_default_logger(0))  # XMPP_LEVEL_DEBUG
connection = strophe.xmpp_conn_new(context)
strophe.xmpp_conn_set_cafile(connection, authority)
strophe.xmpp_conn_set_jid(connection, address)
strophe.xmpp_conn_set_pass(connection, password)
if strophe.xmpp_connect_client(connection, b"127.0.0.1", int(port), changed, None) != 0:
    sys.exit("cannot connect")
strophe.xmpp_run(context)

/* The socket of a connection: its options, and the peer's address. */
#include "internal.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

/* Nagle's algorithm would hold back the first data after the handshake until the peer
 * acknowledges the handshake, which takes it up to 40 ms. */
void socket_write_at_once(const SSL *connection)
{
	int on = 1, descriptor = SSL_get_fd(connection);
	if (descriptor >= 0)
		(void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* If the client sends the last message of a handshake, its own Nagle waits for our
 * acknowledgement. */
void socket_acknowledge_at_once(const SSL *connection)
{
#ifdef TCP_QUICKACK
	int on = 1, descriptor = SSL_get_fd(connection);
	if (descriptor >= 0 && SSL_is_server(connection))
		(void)setsockopt(descriptor, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
#else
	(void)connection;
#endif
}

static void set_ipv4(struct failed_handshake *failure, const void *address, in_port_t port)
{
	failure->family = AF_INET;
	memcpy(failure->address, address, sizeof(struct in_addr));
	failure->port = ntohs(port);
}

void socket_note_peer(struct failed_handshake *failure, const SSL *connection)
{
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	} peer;
	socklen_t size = sizeof peer;
	int descriptor = SSL_get_fd(connection);
	if (descriptor < 0 || getpeername(descriptor, &peer.any, &size) != 0)
		return;
	if (peer.any.sa_family == AF_INET) {
		set_ipv4(failure, &peer.ipv4.sin_addr, peer.ipv4.sin_port);
	} else if (peer.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.ipv6.sin6_addr)) {
		set_ipv4(failure, peer.ipv6.sin6_addr.s6_addr + 12, peer.ipv6.sin6_port);
	} else if (peer.any.sa_family == AF_INET6) {
		failure->family = AF_INET6;
		memcpy(failure->address, &peer.ipv6.sin6_addr, sizeof peer.ipv6.sin6_addr);
		failure->port = ntohs(peer.ipv6.sin6_port);
	}
}

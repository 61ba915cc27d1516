"""The internet, in programs that a page starts: example.org is a server of the test's."""

import os
import socket

ADDRESS = "93.184.215.14"
_look_up, _connect = socket.getaddrinfo, socket.socket.connect


def look_up(host, port, *args, **options):
    """An address of the public internet for example.org."""
    if host != "example.org":
        return _look_up(host, port, *args, **options)
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ADDRESS, port))]


def connect(self, address):
    """To the test's server, where it is for that address."""
    if address == (ADDRESS, 443):
        address = ("127.0.0.1", int(os.environ["EXAMPLE_ORG"]))
    return _connect(self, address)


socket.getaddrinfo, socket.socket.connect = look_up, connect

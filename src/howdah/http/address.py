"""Which addresses URL jobs may reach: those of the public internet. Pure: addresses in, words out.

`ipaddress.is_global` is no such filter: it lets through addresses that carry a private IPv4 address
inside (NAT64, 6to4, Teredo), multicast, and the metadata services of two clouds.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
_DENIED: dict[str, str] = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "private (carrier)",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "a cloud's metadata service",
    "169.254.0.0/16": "link-local (metadata services)",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "protocol assignments (metadata services)",
    "192.0.2.0/24": "for documentation",
    "192.88.99.0/24": "a relay",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "for benchmarks",
    "198.51.100.0/24": "for documentation",
    "203.0.113.0/24": "for documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "::1/128": "loopback",
    "::/96": "an IPv4 address in IPv6",
    "64:ff9b::/96": "NAT64",
    "64:ff9b:1::/48": "NAT64",
    "100::/64": "discarded",
    "2001::/32": "Teredo",
    "2001::/23": "protocol assignments",
    "2001:db8::/32": "for documentation",
    "2002::/16": "6to4",
    "3fff::/20": "for documentation",
    "fc00::/7": "private",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
}
_V4 = tuple((IPv4Network(net), why) for net, why in _DENIED.items() if ":" not in net)
_V6 = tuple((IPv6Network(net), why) for net, why in _DENIED.items() if ":" in net)
_UNICAST = ip_network("2000::/3")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # upper half of an interface id that ends in an IPv4 address


def unwrapped(address: Address) -> Address:
    """An IPv4 address that was written as IPv6 (::ffff:…), as what it is."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def denied(address: Address) -> str | None:
    """Why it may not be reached, in a word or two; None: it may."""
    address = unwrapped(address)
    if isinstance(address, IPv4Address):
        why = next((why for net, why in _V4 if address in net), None)
    else:
        why = next((why for net, why in _V6 if address in net), None)
        if why is None and address.scope_id is not None:
            why = "of one interface"
        if why is None and address not in _UNICAST:
            why = "not in use"
        if why is None and (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
            why = "ISATAP"
    if why is None and (address.is_multicast or not address.is_global):
        why = "not public"
    return why

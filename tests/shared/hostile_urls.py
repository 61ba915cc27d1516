"""URLs that no URL job may call, in as many spellings as there are."""

# ruff: noqa: RUF001 - spellings

# Spellings that a URL parser, a resolver, or a kernel takes for an address that is not public.
NO_URLS = [
    # of 127.0.0.1, as one number, in other bases, with fewer parts, with leading zeros
    "http://2130706433/", "http://0x7f000001/", "http://017700000001/", "http://127.1/",
    "http://127.0.1/", "http://0x7f.1/", "http://0177.0.0.1/", "http://0x7f.0x0.0x0.0x1/",
    "http://127.0.0.01/", "http://127.000.000.001/", "http://0177.0.01/", "http://0x7f.0.0.1/",
    "http://00000177.0.0.1/", "http://4294967297/", "http://0x17f000001/", "http://127.0.0.1.1/",
    "http://0/", "http://0x0/", "http://00/", "http://0.0/", "http://0.0.0/", "http://127/",
    "http://256.0.0.1/", "http://127.0.0.256/", "http://127.0.0.0x1/", "http://1.2.3.0x/",
    "http://3232235521/", "http://0xc0a80001/", "http://2852039166/", "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/", "http://169.254.43518/", "http://0xA9.0xFE.0xA9.0xFE/",
    "http://169.0xfe.43518/", "http://0300.0250.0.1/", "http://012.0.0.1/", "http://10.1/",
    "http://0xa.1/", "http://167772161/", "http://0xAC100001/",
    # of letters that are folded into digits and dots
    "http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/", "http://１２７.0.0.1/", "http://127．0．0．1/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "http://𝟏𝟐𝟕.0.0.1/", "http://１６９.２５４.169.254/", "http://ｌocalhost/",
    "http://0x𝟕f.1/", "http://loc\u00adalhost/", "http://local\u200bhost/", "http://٣.٣.٣.٣/",
    # with parts that one parser reads and another does not
    "http://evil.test@127.0.0.1/", "http://127.0.0.1@evil.test/", "http://a:b@127.0.0.1/",
    "http://evil.test:80@127.0.0.1/", "http://127.0.0.1:80@evil.test/", "http://@127.0.0.1/",
    "http://evil.test\\@127.0.0.1/", "http://127.0.0.1\\@evil.test/", "http:\\\\127.0.0.1/",
    "http:/\\127.0.0.1/", "http:///127.0.0.1/", "http:127.0.0.1/", "http:/127.0.0.1/",
    "//127.0.0.1/", "127.0.0.1/", "http://evil.test#@127.0.0.1:x/ y", "http://evil.test?@x/ /",
    "http://127.0.0.1 .evil.test/", "http://evil.test /", " http://127.0.0.1/",
    "http://127.0.0.1/ ", "http://127.0.0.1\t/", "http://127.0.0.1\n/", "http://127.0.0.1\r\n/",
    "http://127.0.0.1\x00.evil.test/", "http://127.0.0.1%00/", "http://127.0.0.1%2f/",
    "http://%31%32%37.0.0.1/", "http://127.0.0%2e1/", "http://loc%61lhost/", "http://127.0.0.1%20/",
    "http://127.0.0.1:80:80/", "http://127.0.0.1:/", "http://127.0.0.1:0/", "http://127.0.0.1:65536/",
    "http://127.0.0.1:80a/", "http://127.0.0.1:-1/", "http://127.0.0.1: 80/", "http://127.0.0.1:0x50/",
    "http://127.0.0.1;evil.test/", "http://127.0.0.1,evil.test/", "http://127.0.0.1|evil.test/",
    "http://127.0.0.1`/", "http://{127.0.0.1}/", "http://127.0.0.1^/", 'http://127.0.0.1"/',
    "http://<127.0.0.1>/", "http://-localhost/", "http://localhost-/", "http://a..b/", "http://.a/",
    f"http://{'a' * 64}.test/", f"http://{'a.' * 130}test/", "http://", "http://:80/", "http://?x/",
    # of IPv6, with zones, without brackets, half-written
    "http://[::1%25lo]/", "http://[::1%lo]/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/",
    "http://::1/", "http://[::1/", "http://::1]/", "http://[::1]]/", "http://[[::1]]/",
    "http://[127.0.0.1]/", "http://[::ffff:0x7f000001]/", "http://[::1].evil.test/", "http://[]/",
    "http://[::1]evil.test/", "http://evil.test[::1]/", "http://[::1]@evil.test/", "http://[v1.x]/",
    "http://[::ffff:127.1]/", "http://[0:0:0:0:0:0:0:0:1]/", "http://[::g]/", "http://[localhost]/",
    # other schemes
    "file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "ftp://127.0.0.1/", "dict://127.0.0.1:11211/",
    "ldap://127.0.0.1/", "jar:http://127.0.0.1!/", "data:text/plain,x", "javascript:alert(1)",
    "ws://127.0.0.1/", "tftp://127.0.0.1/", "unix:///run/docker.sock", "http+unix://%2frun/",
    "netdoc:///etc/passwd", "view-source:http://127.0.0.1/", "HTTPS:127.0.0.1", "hTTp//127.0.0.1",
    "", "asdf", "/", "?", "#", "http", "http:", "http:/",
]  # fmt: skip

NOT_ALLOWED = [
    "http://127.0.0.1/", "http://127.0.0.1./", "http://127.255.255.254/", "HTTP://127.0.0.1/",
    "http://0.0.0.0/", "http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/",
    "http://192.168.1.1/", "http://169.254.169.254/latest/meta-data/", "http://100.64.0.1/",
    "http://100.100.100.200/", "http://192.0.0.192/", "http://168.63.129.16/", "http://192.88.99.1/",
    "http://198.18.0.1/", "http://192.0.2.1/", "http://198.51.100.1/", "http://203.0.113.1/",
    "http://224.0.0.1/", "http://239.255.255.250/", "http://240.0.0.1/", "http://255.255.255.255/",
    "http://[::]/", "http://[::1]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/", "http://[::ffff:a9fe:a9fe]/", "http://[::127.0.0.1]/",
    "http://[::7f00:1]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b:1::7f00:1]/", "http://[2002:7f00:1::]/", "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", "http://[2001:db8::1]/", "http://[fc00::1]/",
    "http://[fd00:ec2::254]/", "http://[fd12:3456:789a::1]/", "http://[fe80::1]/",
    "http://[fec0::1]/", "http://[ff02::1]/", "http://[100::1]/", "http://[3fff::1]/",
    "http://[2600:1f00::5efe:7f00:1]/", "http://[2600:1f00::200:5efe:a9fe:a9fe]/",
    "http://[4000::1]/", "http://[5f00::1]/", "http://[::ffff:0:127.0.0.1]/",
    "http://93.184.216.34:22/", "http://93.184.216.34:6379/", "https://93.184.216.34:8443/",
    "http://[2606:2800:220:1::1]:5432/",
]  # fmt: skip

"""The benchmark of Howdah and its peers, in one interleaved run: `make bench-peers`."""

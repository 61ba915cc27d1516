"""Measures Howdah on the database at hand: `howdah bench`.

Each mode is a coroutine that gives figures: `enqueue`, `drain`, `latency`, `snapshot`, `backlog`
and `idle`. They work in a scratch schema (`scratch`), with workers in processes of their own
(`staff`), and read what the server spent (`meter`).
"""

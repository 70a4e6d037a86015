"""Webhooks: what happens on the desk, told to addresses that people enter, signed as Standard Webhooks has it.

An app registers its event types in `<app>/webhooks.py` and announces events in the transaction of the change that they
tell of (`announcing`). Each event becomes one delivery per webhook that wants it; workers send them (`sending`), with
the tries and pauses of `schedule`.
"""

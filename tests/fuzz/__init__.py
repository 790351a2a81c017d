"""Damaged input of every kind, much of it: each case must end in success or in one clear line,
within a bound of time and memory.

    python -m tests.fuzz --minutes=30

from the checkout. `cases` says what a case is and how it may end, `campaign` runs them, in
processes that may hang or crash (`watched_process`), `damages` changes bytes, texts and JSON; the
other modules have one kind of input each. A case is repeated by its number: --case=N, with the
--seed it had.
"""

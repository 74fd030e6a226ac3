"""Contracts that policies, guides, ledgers and worlds of anybody can be held to, and a toy world.

A test class of one's own inherits a contract and says how the thing is made; any test runner that
collects classes with `test_` methods does the rest. Nothing here needs one.
"""

"""Oracle NetSuite: the ledger. `client.py` speaks SuiteTalk REST and SuiteQL; `sandbox/` is a ledger to practise on."""

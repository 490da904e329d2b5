"""Tryton: CRM, projects and accounting in one system, over JSON-RPC."""

"""The verbs of one platform per module; the only place of this floor that knows a vendor."""

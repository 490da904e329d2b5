"""Placeholder."""
class Plan:
    def __init__(self, world): pass
    def before(self, day): pass
    def after(self, day): pass
    def finish(self): pass

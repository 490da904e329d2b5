"""How the firm's roles (selling, delivering, keeping the books) are played on a platform: one adapter per role."""

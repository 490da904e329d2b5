"""What every client shares: HTTP, auth, rate budgets, errors, paging, secrets."""

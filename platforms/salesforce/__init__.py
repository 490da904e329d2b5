"""The Salesforce room: its client, and a sandbox that answers like a Salesforce org."""

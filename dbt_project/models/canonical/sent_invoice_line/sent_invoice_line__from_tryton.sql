{{ config(enabled=is_connected('tryton', 'accounting')) }}

{{ sent_invoice_lines('sync_tryton__invoice', lines='lines', source='note') }}

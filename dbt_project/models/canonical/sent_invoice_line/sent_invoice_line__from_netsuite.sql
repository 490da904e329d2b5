{{ config(enabled=is_connected('netsuite', 'accounting')) }}

{{ sent_invoice_lines('sync_netsuite__invoice', lines='item.items', source='custcol_tieout_source') }}

"""The measuring tool: the exchange under load, beside a floor that is as bare as can be."""

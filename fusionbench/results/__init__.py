"""Results of one schema, their statistics, comparison, tables and the gate."""

"""Whether two answers of mathematics are equal: notation, exact quantities, shapes, formulas."""

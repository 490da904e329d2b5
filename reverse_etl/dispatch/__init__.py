"""Journal -> target -> receipt: staging, sending in the largest batches, reading back what nobody answered, settling."""

"""Journal -> target -> receipt: staging, sending in the largest batches, reading back what got no answer, settling."""

"""The records, one file per noun: how each effect becomes rows, and how each question is answered from them."""

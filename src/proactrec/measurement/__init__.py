"""From addable sums per user to values, intervals, comparisons and uplift; knows no simulator."""

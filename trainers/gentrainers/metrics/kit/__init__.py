"""What metrics share: intervals, the decision rule, extractors, neighbours, and the bench they work at."""

"""The page itself: its text, its style, what draws it, and Apache ECharts as it is published (Apache-2.0)."""

"""What several studies need: pages and figures, command lines, child processes, random shops."""

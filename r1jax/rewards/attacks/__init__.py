"""What verifiers are tried with: labelled pairs of answers, attacks, and fuzzed completions."""

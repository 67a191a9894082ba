"""The command line: `tidegate NOUN VERB`."""

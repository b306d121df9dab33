"""Files that people write (fleet files, policies): their values, and the line of each for whoever has to mend it."""

"""Every sentence that people read, in one place, by language; and what a language does to numbers, times and lists."""

"""From what an author wrote to what is checked: sites, pages, directives, files of facts."""

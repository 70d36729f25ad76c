"""From a user's X and y to the blocks of rows that an epoch visits."""

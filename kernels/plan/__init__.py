"""What a sparse call is to do, as data: blocks of both sides, who meets whom, summaries; and what it gives back."""

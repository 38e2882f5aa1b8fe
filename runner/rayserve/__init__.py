"""What Ray and Serve say: their documents to ours, the dashboard's client, the script run on a Ray node."""

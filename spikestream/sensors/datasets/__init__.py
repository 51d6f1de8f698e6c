"""Labelled data sets as sensors: their windows come with their labels, so that training and streaming are one path."""

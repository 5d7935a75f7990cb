"""The pictures of a report: each module turns one view of a run into Bokeh figures with legend and table."""

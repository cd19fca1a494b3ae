"""`genops review`: a page on which people judge blinded pairs, each under a name that the API server knows.

The page holds no right of its own: what it reads of the cluster and every verdict it writes goes under the reviewer's
own credentials. Only files of the report are read by the page itself, and which side is whose never leaves it.
"""

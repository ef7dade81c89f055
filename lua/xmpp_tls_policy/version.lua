--- The version of these files. It stands here only.
return "0.9.0-dev"

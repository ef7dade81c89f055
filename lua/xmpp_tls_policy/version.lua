--- The version of these files. Other places that name it are made from this file or compared with it.
return "0.9.0"

var shop = 1;

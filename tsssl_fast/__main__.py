from tsssl_fast.cli import main

main()

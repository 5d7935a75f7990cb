module chaindp-peer-hashtree

go 1.21

require github.com/prysmaticlabs/gohashtree v0.0.4-beta

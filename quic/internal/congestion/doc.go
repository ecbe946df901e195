// Package congestion decides how much may be under way (a Controller: NewReno or CUBIC) and when it may leave (Pacer). All
// amounts are bytes of UDP payload; all times are nanoseconds on the connection's clock.
//
// Limitations: there is no BBR and no delivery-rate sample yet.
package congestion

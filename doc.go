// Package lodge is empty: the rooms of the house are its folders, and the test
// beside this file holds which of them may know which.
package lodge
